"""LeNet-5 with a thousand weights: training on the non-zeros only, second-order pruning.

`network.SparseNetwork` holds only the weights that are left and trains them with the kernels of
kernels.cpp: an epoch of MNIST costs half a second at 1,200 non-zeros. `surgeon` removes weights and
rounds them to levels where the loss feels it least, `samples` are the images and the teacher's
answers, `schedule` says how much of everything and `run` is the order of it all.
"""
