"""The recurrent layers with a compiled kernel; README.md beside this file says how it is made."""
