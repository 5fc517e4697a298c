"""A run as text and in pictures: facts, and one self-contained HTML page, for each kind of data.

What may enter: a section of a report, a drawing. Figures are computed in `records`, `tables` and `metrics`.
"""
