"""What came of searches, comparisons and scaling studies, as pages that open in a browser without a network."""
