"""What a flow run shows in Prefect's UI beside its log: settings, progress, tables, figures, links, lineage."""
