"""Picking the task of a test image, one image at a time and without trained parameters. One file per idea:

    space         means of features, their pooled within-class covariance, and the space whitened by it
    mixture       Gaussian mixtures: densities, fitting, clustering
    scores        how likely an image is under each task: `WhitenedRetriever` (ours), `LikelihoodRetriever` (literal)
    leave_out     the error expected of new images, from training images that the whitened space leaves out
    own_left_out  the same where every task has a space of its own
    theory        what the mixtures themselves say about the error of retrieval: bounds, sampled error, separation
    gaussianity   whether tasks are the mixtures that theory takes them for
    evidence      where in an image the difference between two scores comes from, exactly
    questions     what can be asked about other retrieval of a finished run ("what if"), and what an answer holds
    answering     answers those questions from the run's folder
    recorded      a finished run's mixtures, read without its model
    kept          how statistics that are fitted are saved with a run and loaded

The app's server reads `questions`, `recorded` and `gaussianity`: they load neither torch nor scikit-learn. Methods use
`scores`, evaluation uses `theory`, `core.training.evidence` uses `evidence`, and the command line and the app ask
`questions`.
"""
