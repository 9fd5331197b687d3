"""One file per revision; `0001_first.py` is never edited again once it was released."""
