"""The page that people see: a tab from a predictor, a finding as HTML, and what there is to know about the models."""
