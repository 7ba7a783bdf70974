"""What the pipeline keeps: parts, banks, tables, their space and lineage, on disk."""
