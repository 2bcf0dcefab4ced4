"""Server runners, one per subject: `serve(mode)` binds 127.0.0.1, announces its port, serves until ended."""
