"""What to do with compressed files and networks, without hardware."""

from cosign.command import Command

COMMANDS = {
    "inspect": Command("compress.commands.inspect", "show what every byte of a file is for"),
    "export": Command(
        "compress.commands.export", "compress a network without training and write the file"
    ),
    "repack": Command(
        "compress.commands.repack",
        "write a file again without what makes no difference, channels sorted",
    ),
    "convert": Command("compress.commands.convert", "write a compressed network in another format"),
    "images": Command("compress.commands.images", "write images of a test split as uint8 pixels"),
}
MOVED = {"train": "cosign train", "evaluate": "cosign evaluate"}
