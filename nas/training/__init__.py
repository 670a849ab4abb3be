"""Training: data sets, recipe, Lightning module, and the evaluator that the search calls."""
