"""Latent Iterative Refinement Flow: image generators from a hundred images that are not memorised.

Names of arrays end in their axes: `x_NCHW`. A letter is the same axis everywhere:

    B     rows of a batch, or of a block       M     candidates, or samples
    N     rows of a bank, or anchors           K     neighbours of each
    C H W channels, height, width              D     C * H * W
    F     features                             L     an augmentation label
    P     pairs, or rows that may be chosen    R     real rows
    A     rows that were chosen, or views      V     versions of an image
    S     steps, or what is shown              T     tokens, or times

A digit is an axis of that length, a lower-case letter a part of the axis of its capital. Latents in
memory are scaled. t = 0 is noise, t = 1 is data, and the velocity is x_1 - x_0.
"""

from lirf import processor

processor.settle()  # here, because it must stand before the first `import torch`
