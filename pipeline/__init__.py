"""The core: configuration, stages, freshness, shards, leases, progress, the report's binding and the command line.

It knows no NLP. Packages (``corpus``, ``tokenizer``, ``pretrain``, ``finetune``) hand it stages; it runs them.
"""

__version__ = "0.1.0"
