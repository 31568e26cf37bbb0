"""What touches a stranger's file: runs in a process that can do nothing else.

`launch` is the script that is started, `worker` serves one file, `walls` takes the process its
rights, `backends` opens files, `keras_file`, `keras_allowed`, `saved_model` and `allowed_ops` say
what such files may hold. Nothing here is imported by the process that reports.
"""
