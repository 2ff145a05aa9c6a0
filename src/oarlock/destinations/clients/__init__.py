"""Clients: one destination bound to one dataset; each driver is imported in the file of its name."""
