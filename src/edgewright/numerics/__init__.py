"""Methods on arrays that know no graph: rounding, scales, clusters, selections under a budget."""
