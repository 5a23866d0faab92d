"""Picking the task of a test image, one image at a time and without trained parameters. One file per idea:

    space       means of features, their pooled within-class covariance, and the space whitened by it
    mixture     Gaussian mixtures: densities, fitting, clustering
    scores      how likely an image is under each task: `WhitenedRetriever` (ours), `LikelihoodRetriever` (literal)
    theory      what the mixtures themselves say about the error of retrieval: bounds, sampled error, separation
    evidence    where in an image the difference between two scores comes from, exactly
    questions   what can be asked about other retrieval of a finished run ("what if"), and what an answer holds
    answering   answers those questions from the run's folder

`questions` imports nothing heavy, because the app's server reads it; all others import torch, and `mixture`
scikit-learn. Methods use `scores`, evaluation uses `theory`, `core.training.evidence` uses `evidence`, and the
command line and the app ask `questions`.
"""
