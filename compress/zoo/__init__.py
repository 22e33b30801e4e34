"""The networks we know by name: one entry each, with everything that is known of it.

`networks` lists them. `entry` is the type of an entry; `lenet5`, `alexnet`, `vgg16`, `resnet50` and
`cifar` fill it in. `recipe` has the values that say how to train, `density` how far to prune. No
torch: the hardware rooms read this one too.
"""
