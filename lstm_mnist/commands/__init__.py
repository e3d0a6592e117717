"""The commands: each module reads its flags, calls the library, prints, and returns an exit code.

A command's module defines its flags when it is imported, and only the chosen command's module is.
Late imports have one reason: nothing that takes long before the flags are known to be right.
"""
