"""What the pages of the reference say beyond the docstrings they are written from."""

from __future__ import annotations

#: What to do about each error.
WAYS_OUT: dict[str, str] = {
    "OarlockError": "Catch it where any error of oarlock's own is to be told from errors of your code.",
    "ConfigurationError": "Read the message: it names the setting, the value, and where it came from.",
    "ConfigFieldMissing": "Set it in one of the places that the message lists; `looked_in` has them too.",
    "InvalidSetting": "Correct the value at its `source`.",
    "UnknownDestination": "Write one of the names that the message lists, or a URL; for a file say `duckdb:///path`.",
    "DestinationNoStaging": "Leave `staging` away: neither destination of this version stages files.",
    "MissingExtra": "Run the `pip install` line of the message.",
    "LockTimeout": "See who holds the lock in `owner`. Wait for it, end it, or raise `runtime.lock_timeout_s`.",
    "LockMisuse": "A bug in the program that uses the lock: a lock does not nest, and only its owner gives it back.",
    "LockFileRefused": "Look who put a link or a folder there, and remove it.",
    "FencedOut": "Nothing: the process was paused, another took over, and nothing was written twice. Call again.",
    "UnsupportedFileSystem": "Use a folder on a local disk: `pipelines_dir=…`. `oarlock doctor` makes the same check.",
    "ForkedProcess": (
        "Start workers by `spawn`, or fork before the parent opens the database. Rows that were committed stay pending."
    ),
    "StoreError": "Catch it where any trouble with the store is to be answered alike.",
    "StoreDamaged": (
        "Move the working folder away and restore it from the destination: `oarlock pipeline NAME sync "
        "--destination … --dataset …`. Rows that were loaded are not lost."
    ),
    "StoreTooNew": "Install the newer oarlock that wrote it.",
    "StorePoisoned": "Look after the disk, then start the process again; what was acknowledged before is kept.",
    "StoreUnavailable": "Free space or mend the permission, then call again.",
    "StateConflict": (
        "Run again: it then starts from the new value. Better, give each worker a key of its own, or use "
        "`state_transaction()`."
    ),
    "StateInvalid": "Keep plain values only: text, numbers, times, lists and dicts of them.",
    "StateTooLarge": "Keep positions in the state and rows in a table.",
    "SchemaError": "Catch it where any trouble with a schema is to be answered alike.",
    "SchemaNotFound": "Ask `pipeline.schema_names`; before the first run there is none.",
    "TableNotFound": (
        "Ask `pipeline.dataset().tables`; names are snake_case there. Tables of a source are in the schema of its name."
    ),
    "InvalidName": "Give another name; the message says what is wrong with this one.",
    "DataError": "Catch it where anything that was handed in is at fault.",
    "InvalidRow": "Convert the value, or take the row out with `add_map` or `add_filter`.",
    "InvalidFile": "Mend the file at the line that the message names, and load it again.",
    "UnsupportedData": "Hand in rows, an iterable of rows, a frame, Arrow data, a path or a resource.",
    "ResourceNameMissing": "Say `table_name=…`.",
    "DestinationError": "Catch it where any refusal of the destination is to be answered alike.",
    "DestinationTransientError": "Run again later; the packages are pending.",
    "DestinationBusy": (
        "End the process that `pid` names, or wait; raise `runtime.destination_timeout_s` where it takes long."
    ),
    "DestinationTerminalError": "Read the reason. Where a package failed, see `oarlock pipeline NAME failed-jobs`.",
    "DestinationUndefined": "Load something first, or look for a wrong `dataset_name` or path.",
    "DestinationHasFailedJobs": "Raised by `raise_on_failed_jobs()`; see `oarlock pipeline NAME failed-jobs`.",
    "PipelineException": (
        "Catch it where any error that concerns one pipeline is to be answered alike; `pipeline_name` says which."
    ),
    "InvalidPipelineName": "Use letters, digits, `_`, `-` or spaces.",
    "PipelineConfigMissing": "Give what is missing: mostly `destination=…`.",
    "CannotRestorePipelineException": (
        "Check the name, `pipelines_dir`, destination and dataset; or make it with `oarlock.pipeline(…)`."
    ),
    "SaltMismatch": "Give the salt that the pipeline was made with: argument, `PIPELINE_SALT` or `secrets.toml`.",
    "ForeignFolder": "Choose another `pipeline_name` or `pipelines_dir`. The folder was not touched.",
    "PipelineInUse": "End the live workers, or load what is pending with `run(None)`, then try again.",
    "PipelineStepFailed": (
        "Look at `step` and at the cause (`__cause__`). Where `has_pending_data` is true the rows are kept "
        "and load with the next run; else run again."
    ),
    "PipelineStateEngineNoUpgradePathException": "Not raised in this version; it is there for programs that catch it.",
    "PipelineHasPendingDataException": "Not raised in this version; it is there for programs that catch it.",
    "PipelineNeverRan": "Not raised in this version; it is there for programs that catch it.",
    "PipelineNotActive": "Activate the pipeline first: `pipeline.activate()`.",
    "LoadPackageNotFound": "Ask the lists of load packages, or `oarlock pipeline NAME packages`.",
    "PackageDamaged": (
        "Its file changed after it was written. Load the rows again from their source, and set the package aside."
    ),
}

#: Said after a docstring, where a page can say more than a line of code.
NOTES: dict[str, str] = {
    "oarlock.attach": "Arguments mean what they mean for [`oarlock.pipeline`](#oarlockpipeline).",
    "oarlock.run": "`**options` are those of [`Pipeline.run`](#pipelinerun).",
    "oarlock.Pipeline": (
        "Attributes: `pipeline_name`, `attached_pipeline` (whether `attach()` made it), `collector`, "
        "`refresh`.\n`with pipeline:` closes it at the end of the block."
    ),
    "oarlock.resource": (
        "Hints are `table_name` (a name, or a function that gets a row and gives a name), "
        "`write_disposition`, `columns`, `primary_key`, `merge_key`, `max_table_nesting`."
    ),
    "Dataset": (
        '`dataset["games"]` and `dataset.games` give a table, `dataset(sql)` a question, `"games" in dataset` a truth.'
    ),
    "Relation": '`relation["id"]` and `relation[["id", "white"]]` select columns; `len(relation)` counts rows.',
    "Accessor": (
        "`config[name]` gives a setting, or raises [`ConfigFieldMissing`](errors.md#configfieldmissing); "
        "`name in config` tells whether it is set.\n`config[name] = value` sets it for this process alone, "
        "before every other place; `del config[name]` takes that back."
    ),
    "SqlClient.execute_sql": (
        "Run statements, arguments as `$1`, `$2`; give the rows of the last, or None where it has none."
    ),
    "SqlClient.execute_query": "Ask a question; give a cursor for the length of a `with`.",
    "SqlClient.qualified": "Give the quoted name of a table with its dataset.",
    "SqlClient.has_dataset": "Tell whether the dataset is there.",
    "SqlClient.native_connection": "The connection of the driver itself.",
    "Cursor.columns": "Names of the columns.",
    "Cursor.fetchall": "Give all rows that are left.",
    "Cursor.fetchmany": "Give the next rows.",
    "Cursor.fetchone": "Give the next row, None where there is none.",
    "Cursor.df": "Give the rows as a pandas DataFrame.",
    "Cursor.arrow": "Give the rows as an Arrow table.",
    "Cursor.iter_arrow": "Give the rows as record batches.",
    "Destination.reference": "Give what the store keeps of it.",
    "Destination.client": "Bind it to a dataset; imports the driver.",
    "Destination.type": "What it is: `duckdb`, `postgres`.",
    "Destination.name": "The name under which its settings stand.",
    "Destination.capabilities": "What it can hold.",
}

#: Members that other rooms of oarlock use, and users need not know.
HIDDEN = frozenset(
    (
        "Collector.on_end_trace",
        "Collector.on_end_trace_step",
        "Collector.on_start_trace",
        "Collector.on_start_trace_step",
        "Relation.asked",
        "Resource.check",
        "Resource.in_source",
        "Resource.items",
        "Schema.bumped",
        "Schema.grown",
        "Schema.replaced_by",
        "Schema.texts",
        "Schema.without_processing_hints",
        "Transformer.check",
    )
)
