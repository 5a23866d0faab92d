"""What a run achieved: accuracy and forgetting (metrics), nearest-neighbour retention (knn), and the price (cost)."""
