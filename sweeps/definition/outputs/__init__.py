"""What a report can hold: one module for each kind of table and of picture, with the options of the kind.

A kind is drawn by the module of the same name in `sweeps/reporting/tables` or `sweeps/reporting/figures`. Files in the
two folders are all that a new kind takes: help, parsers and error messages read the registry.
"""
