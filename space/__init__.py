"""The web: one page and the named Gradio routes, made from the predictors. Knows nothing of networks."""
