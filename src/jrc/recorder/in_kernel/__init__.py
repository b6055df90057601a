"""What runs inside the remote kernel: Python >= 3.8, standard library only.

``install.source()`` joins the modules into one text. They import nothing of jrc but each other, in
the order records, storage, archive, frames, flushes, turns, manners, recorder, control, and no two
of them give the same name to different things.
"""
