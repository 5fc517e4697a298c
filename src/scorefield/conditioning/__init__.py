"""Model -> Model: guidance, editing and inverse problems, each a model that answers `(x, level) -> Estimate`.

What may enter: a method that changes the answers of a model it is given; it knows neither networks nor files.
"""
