"""Sources, resources and transformers: where rows come from, and the hints that say where they go.

A resource is an iterable of rows with hints; a transformer is a resource that is fed by another; a source is a
named bundle of resources that share one schema. None of them knows a destination, a file or a process.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

from oarlock.errors import ConfigurationError, ResourceNameMissing, UnsupportedData
from oarlock.hints import Columns, Hints, Key, Row, TableName, make_hints
from oarlock.scope import ResourceScope, entered
from oarlock.settings import filled
from oarlock.values import WriteDisposition

F = TypeVar("F", bound=Callable[..., Any])


class Resource:
    """An iterable of rows with a name and hints; iterating it gives the rows, ``run()`` loads them."""

    def __init__(
        self,
        data: Any,
        *,
        name: str,
        hints: Hints,
        selected: bool = True,
        parent: Resource | None = None,
        bound: tuple[tuple[Any, ...], dict[str, Any]] | None = None,
        steps: tuple[Callable[[Iterator[Any]], Iterator[Any]], ...] = (),
        source_name: str | None = None,
    ) -> None:
        self._data = data
        self.name = name
        self.hints = hints
        self.selected = selected
        self.parent = parent
        self._bound = bound
        self._steps = steps
        self.source_name = source_name

    def __repr__(self) -> str:
        return f"<oarlock.resource {self.name!r}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Resource:
        """Bind arguments of the resource's function; the result can be iterated or run."""
        if not callable(self._data):
            raise UnsupportedData(
                f"resource {self.name!r}", "it is made from data, not from a function, so it takes no arguments"
            )
        if self._bound is not None:
            raise UnsupportedData(f"resource {self.name!r}", "its arguments are already bound")
        lead = (None,) if self.parent is not None or self._is_transformer else ()
        inspect.signature(self._data).bind(
            *lead, *args, **kwargs
        )  # a wrong call fails here, not in the middle of a run
        return self._copy(bound=(args, kwargs))

    @property
    def _is_transformer(self) -> bool:
        return isinstance(self, Transformer)

    def _copy(self, **changes: Any) -> Resource:
        values: dict[str, Any] = {
            "name": self.name,
            "hints": self.hints,
            "selected": self.selected,
            "parent": self.parent,
            "bound": self._bound,
            "steps": self._steps,
            "source_name": self.source_name,
        }
        return type(self)(self._data, **{**values, **changes})

    def with_name(self, name: str) -> Resource:
        """Give the same rows under another name."""
        return self._copy(name=name)

    def in_source(self, source_name: str) -> Resource:
        """Give the resource as a member of a source, whose schema and state it uses."""
        return self._copy(source_name=source_name)

    def with_table_name(self, table_name: TableName) -> Resource:
        """Send the rows to another table; a function gets each row and gives its table."""
        return self.apply_hints(table_name=table_name)

    def with_hints(self, **hints: Any) -> Resource:
        """Lay hints over those that are there; the same as ``apply_hints``."""
        return self.apply_hints(**hints)

    def apply_hints(self, **hints: Any) -> Resource:
        """Lay hints over those that are there; takes the hints that ``resource`` takes."""
        return self._copy(hints=make_hints(**hints).over(self.hints))

    def add_map(self, function: Callable[[Row], Row]) -> Resource:
        """Replace each row by what ``function`` makes of it."""
        return self._add(lambda rows: (function(row) for row in rows))

    def add_filter(self, predicate: Callable[[Row], bool]) -> Resource:
        """Keep the rows for which ``predicate`` is true."""
        return self._add(lambda rows: (row for row in rows if predicate(row)))

    def add_yield_map(self, function: Callable[[Row], Iterable[Row]]) -> Resource:
        """Replace each row by all the rows that ``function`` yields for it."""
        return self._add(lambda rows: (out for row in rows for out in function(row)))

    def add_limit(self, max_items: int) -> Resource:
        """Stop after ``max_items`` yields of the source (a yielded page of rows counts as one)."""
        if max_items < 0:
            raise ConfigurationError(f"add_limit: max_items {max_items!r} is below zero")
        return self._copy(steps=(functools.partial(_limit, max_items), *self._steps))

    def _add(self, step: Callable[[Iterator[Any]], Iterator[Any]]) -> Resource:
        return self._copy(steps=(*self._steps, functools.partial(_by_row, step)))

    def __or__(self, other: Resource) -> Resource:
        """Feed this resource's rows to a transformer."""
        if not isinstance(other, Transformer):
            raise UnsupportedData(f"resource {other!r}", "only a transformer can stand on the right of |")
        return other._copy(parent=self)

    def items(self) -> Iterator[Any]:
        """Iterate over what the resource yields: rows, pages of rows, or tables."""
        items = self._items()
        for step in self._steps:
            items = step(items)
        return items

    def _items(self) -> Iterator[Any]:
        if callable(self._data):
            args, kwargs = self._bound or ((), {})
            return as_items(self._data(*args, **filled(self._data, args, kwargs, self.name)))
        return as_items(self._data)

    def __iter__(self) -> Iterator[Row]:
        """Iterate over the rows, pages taken apart, with the resource's own state scope."""
        with entered(ResourceScope(self.source_name, self.name)):
            for item in self.items():
                yield from item if isinstance(item, list) else (item,)

    def check(self) -> None:
        """Refuse a resource that cannot run yet.

        Raises:
            UnsupportedData: arguments are not bound, or a transformer has nothing to transform.
        """
        if callable(self._data) and self._bound is None:
            lead = (None,) if isinstance(self, Transformer) else ()
            try:
                inspect.signature(self._data).bind(*lead)
            except TypeError as error:
                raise UnsupportedData(
                    f"resource {self.name!r}", f"call it with its arguments first ({error})"
                ) from error


class Transformer(Resource):
    """A resource whose function gets each row of its parent and yields rows of its own."""

    def _items(self) -> Iterator[Any]:
        if self.parent is None:
            raise UnsupportedData(
                f"transformer {self.name!r}", "it has no rows to transform: write `resource | transformer`"
            )
        args, kwargs = self._bound or ((), {})
        kwargs = filled(self._data, (None, *args), kwargs, self.name)
        for item in self.parent.items():
            for row in item if isinstance(item, list) else (item,):
                yield from as_items(self._data(row, *args, **kwargs))

    def check(self) -> None:
        """Refuse a transformer without a parent, or one whose arguments are not bound."""
        if self.parent is None:
            raise UnsupportedData(
                f"transformer {self.name!r}", "it has no rows to transform: write `resource | transformer`"
            )
        super().check()
        self.parent.check()


class Source:
    """A named bundle of resources that share one schema and one part of the state."""

    def __init__(self, name: str, resources: Iterable[Resource]) -> None:
        self.name = name
        self.resources: dict[str, Resource] = {}
        for one in resources:
            if one.name in self.resources:
                raise ConfigurationError(f"source {name!r} has two resources named {one.name!r}; give one another name")
            self.resources[one.name] = one.in_source(name)

    def __repr__(self) -> str:
        return f"<oarlock.source {self.name!r}: {', '.join(self.resources)}>"

    def __getattr__(self, name: str) -> Resource:
        resources: dict[str, Resource] = self.__dict__.get("resources", {})
        if name in resources:
            return resources[name]
        raise AttributeError(
            f"source {self.__dict__.get('name')!r} has no resource {name!r}; it has {', '.join(resources)}"
        )

    @property
    def selected_resources(self) -> dict[str, Resource]:
        """The resources that a run loads."""
        return {name: one for name, one in self.resources.items() if one.selected}

    def with_resources(self, *names: str) -> Source:
        """Give the source with only these resources selected."""
        unknown = [name for name in names if name not in self.resources]
        if unknown:
            raise ConfigurationError(
                f"source {self.name!r} has no resource {unknown[0]!r}; it has {', '.join(self.resources)}"
            )
        return Source(self.name, [one._copy(selected=name in names) for name, one in self.resources.items()])

    def add_limit(self, max_items: int) -> Source:
        """Stop each resource after ``max_items`` yields."""
        return Source(self.name, [one.add_limit(max_items) for one in self.resources.values()])

    def __iter__(self) -> Iterator[Row]:
        for one in self.selected_resources.values():
            yield from one


def as_items(made: Any) -> Iterator[Any]:
    """Iterate over what a resource's function or data gives: an iterator's items, or the one value itself."""
    if made is None:
        return iter(())
    if isinstance(made, Resource):
        return made.items()
    if isinstance(made, list | tuple):
        return iter((list(made),)) if made else iter(())
    if isinstance(made, Mapping | str | bytes) or is_tabular(made):
        return iter((made,))
    if isinstance(made, Iterable):
        return iter(made)
    if inspect.isasyncgen(made) or inspect.iscoroutine(made):
        raise UnsupportedData(
            type(made).__name__, "async generators are not taken yet; collect the rows and yield them"
        )
    return iter((made,))


def is_tabular(value: Any) -> bool:
    """Say whether a value holds a table by itself: Arrow data, a frame, or what speaks Arrow's C stream."""
    module = type(value).__module__.partition(".")[0]
    return hasattr(value, "__arrow_c_stream__") or (
        module in ("pyarrow", "pandas", "polars") and hasattr(value, "columns")
    )


def _limit(max_items: int, items: Iterator[Any]) -> Iterator[Any]:
    if max_items == 0:
        return
    for number, item in enumerate(items, start=1):
        yield item
        if number >= max_items:
            return


def _by_row(step: Callable[[Iterator[Any]], Iterator[Any]], items: Iterator[Any]) -> Iterator[Any]:
    """Apply a step to each row, keeping pages as pages so that the engine still gets whole batches."""
    for item in items:
        if isinstance(item, list):
            page = list(step(iter(item)))
            if page:
                yield page
        else:
            yield from step(iter((item,)))


@overload
def resource(data: F, /) -> Resource: ...
@overload
def resource(
    data: None = None,
    /,
    *,
    name: str | None = None,
    table_name: TableName | None = None,
    max_table_nesting: int | None = None,
    write_disposition: WriteDisposition | None = None,
    columns: Columns | None = None,
    primary_key: Key | None = None,
    merge_key: Key | None = None,
    selected: bool = True,
) -> Callable[[F], Resource]: ...
@overload
def resource(
    data: Any,
    /,
    *,
    name: str | None = None,
    table_name: TableName | None = None,
    max_table_nesting: int | None = None,
    write_disposition: WriteDisposition | None = None,
    columns: Columns | None = None,
    primary_key: Key | None = None,
    merge_key: Key | None = None,
    selected: bool = True,
) -> Resource: ...
def resource(data: Any = None, /, *, name: str | None = None, selected: bool = True, **hints: Any) -> Any:
    """Make a resource from a function (as a decorator) or from data.

    >>> @resource(write_disposition="replace")
    ... def games():
    ...     yield {"id": 1, "white": "Anand"}
    >>> list(games())
    [{'id': 1, 'white': 'Anand'}]

    Raises:
        ConfigurationError: a hint cannot work.
        ResourceNameMissing: data that has no name of its own was given without ``name``.
    """
    made = make_hints(**hints)
    if data is None:
        return lambda function: _make(Resource, function, name, made, selected)
    return _make(Resource, data, name, made, selected)


def transformer(
    function: Callable[..., Any] | None = None,
    /,
    *,
    data_from: Resource | None = None,
    name: str | None = None,
    selected: bool = True,
    **hints: Any,
) -> Any:
    """Make a transformer: the function's first argument is a row of ``data_from`` (or of what stands left of ``|``)."""
    made = make_hints(**hints)

    def wrap(function: Callable[..., Any]) -> Resource:
        one = _make(Transformer, function, name, made, selected)
        return one if data_from is None else one._copy(parent=data_from)

    return wrap if function is None else wrap(function)


def _make(kind: type[Resource], data: Any, name: str | None, hints: Hints, selected: bool) -> Resource:
    if isinstance(data, Resource):
        return data._copy(name=name or data.name, hints=hints.over(data.hints), selected=selected)
    own = getattr(data, "__name__", None) if callable(data) or inspect.isgenerator(data) else None
    found = name or own or (hints.table_name if isinstance(hints.table_name, str) else None)
    if not found:
        raise ResourceNameMissing(type(data).__name__)
    return kind(data, name=found, hints=hints, selected=selected)


def source(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None, max_table_nesting: int | None = None
) -> Any:
    """Make a source from a function that returns (or yields) resources; as a decorator, with or without arguments.

    >>> @source
    ... def chess():
    ...     return resource([{"id": 1}], name="games")
    >>> chess()
    <oarlock.source 'chess': games>
    """

    def wrap(function: Callable[..., Any]) -> Callable[..., Source]:
        own = name or function.__name__
        over = make_hints(max_table_nesting=max_table_nesting)

        @functools.wraps(function)
        def made(*args: Any, **kwargs: Any) -> Source:
            with entered(ResourceScope(own, None)):
                found = list(_resources_of(own, function(*args, **filled(function, args, kwargs, own))))
            return Source(own, [one._copy(hints=one.hints.over(over)) for one in found])

        return made

    return wrap if function is None else wrap(function)


def _resources_of(source_name: str, made: Any) -> Iterator[Resource]:
    if made is None:
        return
    if isinstance(made, Resource):
        yield made
    elif isinstance(made, Source):
        yield from made.resources.values()
    elif isinstance(made, Iterable) and not isinstance(made, Mapping | str | bytes):
        for one in made:
            yield from _resources_of(source_name, one)
    else:
        raise UnsupportedData(f"{type(made).__name__} from source {source_name!r}", "a source returns resources")


__all__ = [
    "Resource",
    "Source",
    "Transformer",
    "as_items",
    "is_tabular",
    "resource",
    "source",
    "transformer",
]
