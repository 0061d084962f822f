"""``xlmr serve``: the runs of a folder as pages of a small web server, each with its report and figures."""
