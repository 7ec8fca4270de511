"""The web: one page, the named Gradio routes and REST, made from the predictors. Knows nothing of networks.

A request comes through ``http``, to one of three doors: ``page``, ``gradio`` or ``rest``. Its films lie in ``uploads``
(or are fetched by ``fetch``), as many as there is ``room`` for. Every door asks at the one ``desk``, which gives
``turns`` within ``limits``; ``refusals`` says no, ``metrics`` and ``log`` tell what happened, by ``tracing``'s id.
``deploy`` brings all of it to the Hub.
"""
