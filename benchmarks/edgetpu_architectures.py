# ruff: noqa: D102, E501 - a method is named like its layer, and one stage stands in one line
"""Known architectures as rows of work, enough to count what they cost: no framework, no weights. Each follows its paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from converters.targets.edgetpu.memory import CHIP_BYTES, Memory
from converters.targets.edgetpu.work import Kind, Work


@dataclass
class Net:
    """A network being built: a tensor of (height, width, channels) goes through layers."""

    height: int
    width: int
    channels: int = 3
    works: list[Work] = field(default_factory=list)
    parameters: int = 0
    peak: int = 0

    def __post_init__(self) -> None:
        self.input_bytes = self.size
        self.output_bytes = 0

    @property
    def size(self) -> int:
        return self.height * self.width * self.channels

    def _did(self, kind: Kind, macs: int, before: int, *, mapped: bool = True, parameters: int = 0) -> Net:
        self.works.append(Work(kind, mapped, macs, before, self.size))
        self.parameters += parameters
        self.peak = max(self.peak, self.size + before // 2)
        return self

    def conv(
        self, channels: int, kernel: int | tuple[int, int] = 1, stride: int = 1, *, valid: bool = False, groups: int = 1
    ) -> Net:
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        before, taken = self.size, self.channels // groups
        shrink = (rows - 1, columns - 1) if valid else (0, 0)
        self.height, self.width = (
            -(-(n - less) // stride) for n, less in zip((self.height, self.width), shrink, strict=True)
        )
        self.channels = channels
        filled = -(-channels // (16 if channels <= 64 else 64)) * (16 if channels <= 64 else 64)
        values = rows * columns * taken
        return self._did("conv", self.size * values, before, parameters=filled * (values + 4))

    def depthwise(self, kernel: int = 3, stride: int = 1) -> Net:
        before = self.size
        self.height, self.width = -(-self.height // stride), -(-self.width // stride)
        return self._did(
            "depthwise", self.size * kernel * kernel, before, parameters=self.channels * (4 * kernel * kernel + 4)
        )

    def pool(self, stride: int = 2, *, kernel: int = 3, valid: bool = False) -> Net:
        before, shrink = self.size, kernel - 1 if valid else 0
        self.height, self.width = -(-(self.height - shrink) // stride), -(-(self.width - shrink) // stride)
        return self._did("other", 0, before)

    def plane(self) -> Net:
        before = self.size
        self.height = self.width = 1
        return self._did("other", 0, before)

    def dense(self, units: int) -> Net:
        before = self.size
        self.height, self.width, self.channels = 1, 1, units
        filled = -(-units // 64) * 64
        return self._did("dense", units * before, before, parameters=filled * (before + 4))

    def add(self) -> Net:
        return self._did("other", 0, 2 * self.size)

    def normalize(self) -> Net:
        """A batch normalization before a convolution, which cannot be folded: a product and a sum with constants."""
        return self._did("other", 0, self.size)._did("other", 0, self.size)

    def branches(self, *branches: list[tuple[object, ...]]) -> Net:
        """Each branch is rows of (method, arguments...), from here; they are joined along the channels."""
        start, channels = (self.height, self.width, self.channels), 0
        end = start
        for branch in branches:
            self.height, self.width, self.channels = start
            for method, *arguments in branch:
                getattr(self, str(method))(*arguments)
            channels, end = channels + self.channels, (self.height, self.width, self.channels)
        self.height, self.width, self.channels = end[0], end[1], channels
        return self._did("other", 0, self.size)

    def on_cpu(self, channels: int, height: int, width: int) -> Net:
        before = self.size
        self.height, self.width, self.channels = height, width, channels
        return self._did("other", 0, before, mapped=False)

    def memory(self) -> Memory:
        """What is moved: parameters beyond the room that is left on the chip are streamed."""
        room = CHIP_BYTES - self.peak
        outputs = self.output_bytes or self.size
        return Memory(
            self.parameters, min(self.parameters, room), max(self.parameters - room, 0), self.input_bytes, outputs
        )


def mobilenet_v1(size: int = 224, classes: int = 1001, width: float = 1.0) -> Net:
    """Howard et al. 2017, table 1; ``width`` multiplies the channels."""
    net = Net(size, size).conv(int(32 * width), 3, 2)
    for channels, stride in (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *((512, 1),) * 5,
        (1024, 2),
        (1024, 1),
    ):
        net.depthwise(3, stride).conv(int(channels * width))
    return net.plane().dense(classes) if classes else net


def mobilenet_v2(size: int = 224, classes: int = 1001, stop_stride: int = 32) -> Net:
    """Sandler et al. 2018, table 2; with an output stride of 16 the last stages are dilated instead."""
    net, reached = Net(size, size).conv(32, 3, 2), 2
    for expand, channels, count, stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for number in range(count):
            step = stride if number == 0 and reached * stride <= stop_stride else 1
            reached *= step
            same = number > 0
            if expand > 1:
                net.conv(net.channels * expand)
            net.depthwise(3, step).conv(channels)
            if same:
                net.add()
    return net.conv(1280).plane().dense(classes) if classes else net


def inception_v1() -> Net:
    """Szegedy et al. 2014, table 1."""
    net = Net(224, 224).conv(64, 7, 2).pool().conv(64).conv(192, 3).pool()
    rows = (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
    )
    rows += (
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    )
    for number, (a, b, c, d, e, f) in enumerate(rows):
        if number in (2, 7):
            net.pool()
        net.branches(
            [("conv", a)], [("conv", b), ("conv", c, 3)], [("conv", d), ("conv", e, 3)], [("pool", 1), ("conv", f)]
        )
    return net.plane().dense(1001)


def inception_v4() -> Net:
    """Szegedy et al. 2016, figures 3 to 9."""
    net = Net(299, 299)
    net.conv(32, 3, 2, valid=True).conv(32, 3, valid=True).conv(64, 3)
    net.height = net.width = 73
    net.channels = 160
    net._did("conv", 73 * 73 * 96 * 9 * 64, 147 * 147 * 64, parameters=128 * 9 * 64)
    net.branches(
        [("conv", 64), ("conv", 96, 3)], [("conv", 64), ("conv", 64, (7, 1)), ("conv", 64, (1, 7)), ("conv", 96, 3)]
    )
    net.height = net.width = 71
    net.branches([("conv", 192, 3, 2)], [("pool", 2)])
    net.height = net.width = 35
    for _ in range(4):
        net.branches(
            [("conv", 96)],
            [("conv", 64), ("conv", 96, 3)],
            [("conv", 64), ("conv", 96, 3), ("conv", 96, 3)],
            [("pool", 1), ("conv", 96)],
        )
    net.branches([("conv", 384, 3, 2)], [("conv", 192), ("conv", 224, 3), ("conv", 256, 3, 2)], [("pool", 2)])
    net.height = net.width = 17
    for _ in range(7):
        net.branches(
            [("conv", 384)],
            [("conv", 192), ("conv", 224, (1, 7)), ("conv", 256, (7, 1))],
            [("conv", 192), ("conv", 192, (7, 1)), ("conv", 224, (1, 7)), ("conv", 224, (7, 1)), ("conv", 256, (1, 7))],
            [("pool", 1), ("conv", 128)],
        )
    net.branches(
        [("conv", 192), ("conv", 192, 3, 2)],
        [("conv", 256), ("conv", 256, (1, 7)), ("conv", 320, (7, 1)), ("conv", 320, 3, 2)],
        [("pool", 2)],
    )
    net.height = net.width = 8
    for _ in range(3):
        net.branches(
            [("conv", 256)],
            [("conv", 384), ("conv", 256, (1, 3))],
            [("conv", 256, (3, 1))],
            [("conv", 384), ("conv", 448, (3, 1)), ("conv", 512, (1, 3)), ("conv", 256, (1, 3))],
            [("conv", 256, (3, 1))],
            [("pool", 1), ("conv", 256)],
        )
        net.channels = 1536
    return net.plane().dense(1001)


def resnet50(size: int = 299) -> Net:
    """He et al. 2015, table 1."""
    net = Net(size, size).conv(64, 7, 2).pool()
    for stage, (channels, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for number in range(count):
            stride = 2 if stage and not number else 1
            if not number:
                before = net.height, net.width, net.channels
                net.conv(4 * channels, 1, stride)
                net.height, net.width, net.channels = before
            net.conv(channels, 1, stride).conv(channels, 3).conv(4 * channels).add()
    return net.plane().dense(1000)


def vgg16() -> Net:
    """Simonyan and Zisserman 2014, column D."""
    net = Net(224, 224)
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            net.conv(channels, 3)
        net.pool(kernel=2)
    return net.dense(4096).dense(4096).dense(1000)


def densenet121() -> Net:
    """Huang et al. 2016, table 1."""
    net = Net(224, 224).conv(64, 7, 2).pool()
    for stage, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            channels = net.channels
            net.normalize().conv(128).conv(32, 3)
            net.channels = channels + 32
            net._did("other", 0, net.size)
        if stage < 3:
            net.normalize().conv(net.channels // 2).pool(kernel=2)
    return net.normalize().plane().dense(1000)


def ssd(backbone: Net, taps: tuple[tuple[int, int, int], ...]) -> Net:
    """Heads of the Object Detection API: 3x3 or 1x1 boxes and 91 classes; the boxes are chosen on the processor. Taps are (side, channels, boxes)."""
    outputs = 0
    for side, channels, boxes in taps:
        backbone.height, backbone.width, backbone.channels = side, side, channels
        backbone.conv(boxes * 4)
        backbone.channels = channels
        backbone.conv(boxes * 91)
        outputs += side * side * boxes * 95
    backbone.output_bytes = outputs
    backbone.height, backbone.width, backbone.channels = 1, 1, outputs
    return backbone.on_cpu(outputs, 1, 1)


def ssd_mobilenet_v1() -> Net:
    """300x300, as the Object Detection API has it."""
    net = mobilenet_v1(300, classes=0)
    for squeeze, channels in ((256, 512), (128, 256), (128, 256), (64, 128)):
        net.conv(squeeze).conv(channels, 3, 2)
    return ssd(net, ((19, 512, 3), (10, 1024, 6), (5, 512, 6), (3, 256, 6), (2, 256, 6), (1, 128, 6)))


def ssd_mobilenet_v2() -> Net:
    """300x300, as the Object Detection API has it."""
    net = mobilenet_v2(300, classes=0).conv(1280)
    for squeeze, channels in ((256, 512), (128, 256), (128, 256), (64, 128)):
        net.conv(squeeze).conv(channels, 3, 2)
    return ssd(net, ((19, 576, 3), (10, 1280, 6), (5, 512, 6), (3, 256, 6), (2, 256, 6), (1, 128, 6)))


def deeplab_v3() -> Net:
    """MobileNetV2 at output stride 16, 513x513, 21 classes (Chen et al. 2017): resizing and the largest class on the processor."""
    net = mobilenet_v2(513, classes=0, stop_stride=16)
    net.conv(256)
    net.output_bytes = net.size + 256
    for _ in range(2):
        net.on_cpu(256, 33, 33)
    net.works.append(Work("conv", False, 33 * 33 * 512 * 256, 33 * 33 * 512, 33 * 33 * 256))
    net.works.append(Work("conv", False, 33 * 33 * 256 * 21, 33 * 33 * 256, 33 * 33 * 21))
    return net.on_cpu(21, 513, 513).on_cpu(1, 513, 513)


ARCHITECTURES: dict[str, Callable[[], Net]] = {
    "DeepLab V3 513x513": deeplab_v3,
    "DenseNet 224": densenet121,
    "Inception v1 224": inception_v1,
    "Inception v4 299": inception_v4,
    "MobileNet v1 224": mobilenet_v1,
    "MobileNet v2 224": mobilenet_v2,
    "MobileNet v1 SSD 224": ssd_mobilenet_v1,
    "MobileNet v2 SSD 224": ssd_mobilenet_v2,
    "ResNet-50 V1 299": resnet50,
    "VGG16 224": vgg16,
    "MobileNet v1 0.25 128": lambda: mobilenet_v1(128, width=0.25),
}
