"""``[contract.features]``: what is computed of a window before the model gets it. What frameworks do differently must be stated."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_sdk.window_settings import FULL_SCALE, WindowSettings

StatisticName = Literal[
    "mean", "std", "rms", "min", "max", "peak_to_peak", "crest_factor", "skewness", "kurtosis", "zero_crossings"
]
Log = Literal["ln", "log10", "db"]
_MOST_POINTS = 1 << 16  # of a Fourier transform
_MOST_NUMBERS = 1 << 23  # in all transforms of a window


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FrameSettings(_Strict):
    """What is computed of short frames of a window, by Fourier transforms.

    Attributes:
        frame_length, frame_hop: readings of a frame, and from one frame's beginning to the next one's. There are only whole frames.
        fft_length: points of the transform, a power of 2; a frame is followed by zeros up to it. Default: the least that holds a frame.
        window_function: what a frame is multiplied by. Hann and Hamming are periodic, or ``symmetric``.
        padding: ``"zero"`` or ``"reflect"`` puts half an fft_length before and behind the window, so that frames are centred as librosa
            does with ``center=True``; frame_length is then fft_length.
        preemphasis: a in x[t] - a x[t-1]; the first reading stays as it is.
        spectrum: ``"power"`` |X|^2, or ``"magnitude"`` |X|.
    """

    frame_length: int = Field(ge=2, le=_MOST_POINTS)
    frame_hop: int = Field(ge=1)
    fft_length: int | None = Field(default=None, ge=4, le=_MOST_POINTS)
    window_function: Literal["hann", "hamming", "rectangular"]
    symmetric: bool = False
    padding: Literal["none", "zero", "reflect"] = "none"
    preemphasis: float = Field(default=0.0, ge=0, lt=1)
    spectrum: Literal["power", "magnitude"]

    @model_validator(mode="after")
    def _framed(self) -> FrameSettings:
        points = self.points
        if points & (points - 1) or points < self.frame_length:
            raise ValueError(
                f"fft_length is a power of 2 and at least frame_length, {self.frame_length}; found {points}"
            )
        if self.padding != "none" and self.frame_length != points:
            raise ValueError(
                f"padding = {self.padding} needs frame_length = fft_length; found {self.frame_length}, {points}"
            )
        return self

    @property
    def points(self) -> int:
        """Of the transform."""
        return self.fft_length or max(4, 1 << (self.frame_length - 1).bit_length())

    def frames(self, window: WindowSettings) -> int:
        """How many a window has."""
        padded = window.length + (0 if self.padding == "none" else self.points)
        return 1 + (padded - self.frame_length) // self.frame_hop if padded >= self.frame_length else 0

    def check(self, window: WindowSettings) -> None:
        """Raise ValueError if they do not fit a window."""
        count = self.frames(window)
        if not count or (self.padding == "reflect" and window.length <= self.points // 2):
            raise ValueError(f"a window of {window.length} readings is shorter than a frame of {self.frame_length}")
        if count * len(window.channels) * self.points > _MOST_NUMBERS:
            raise ValueError(f"{count} frames of {self.points} points are too many; take a larger frame_hop")


class MelSettings(FrameSettings):
    """Logarithms of mel bands of frames.

    Attributes:
        mel_bins, low_hz, high_hz: how many triangles, and from where to where they reach.
        mel_scale: ``"htk"`` (2595 log10(1 + f / 700), also TensorFlow's) or ``"slaney"`` (linear to 1 kHz, librosa's default).
        mel_triangles: what the triangles are straight over: ``"hz"`` (librosa, torchaudio) or ``"mel"`` (TensorFlow, Kaldi).
        mel_norm: ``"none"``, or ``"slaney"``: each triangle has the area 1 (librosa's default).
        log: ``"ln"``, ``"log10"``, or ``"db"``, 10 times that.
        log_floor: smaller numbers count as this one; or
        log_offset: is added to every number before.
    """

    mel_bins: int = Field(ge=1, le=1_024)
    low_hz: float = Field(ge=0)
    high_hz: float
    mel_scale: Literal["htk", "slaney"]
    mel_triangles: Literal["hz", "mel"]
    mel_norm: Literal["none", "slaney"]
    log: Log
    log_floor: float | None = Field(default=None, gt=0)
    log_offset: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_start(self) -> MelSettings:
        if (self.log_floor is None) == (self.log_offset is None):
            raise ValueError("give log_floor (the least number whose log is taken) or log_offset (added to each)")
        return self

    def check(self, window: WindowSettings) -> None:
        """See the base class."""
        super().check(window)
        if not self.low_hz < self.high_hz <= window.rate_hz / 2:
            raise ValueError(
                f"low_hz is below high_hz, and that is at most half of rate_hz, {window.rate_hz / 2:g}; found {self.low_hz:g} and "
                f"{self.high_hz:g}"
            )


class LogMelSettings(MelSettings):
    """Logarithms of mel bands: (frames, mel_bins), and channels behind where there are several."""

    kind: Literal["log-mel"]


class MfccSettings(MelSettings):
    """Mel-frequency cepstral coefficients: (frames, coefficients), and channels behind where there are several; an orthonormal DCT-II.

    Attributes:
        coefficients: the first so many.
        lifter: L of HTK's liftering, coefficient n times 1 + L / 2 sin(pi n / L), n from 0; 0 for none.
    """

    kind: Literal["mfcc"]
    coefficients: int = Field(ge=1)
    lifter: int = Field(default=0, ge=0, le=10_000)

    @model_validator(mode="after")
    def _enough(self) -> MfccSettings:
        if self.coefficients > self.mel_bins:
            raise ValueError(f"coefficients are at most mel_bins, {self.mel_bins}; found {self.coefficients}")
        return self


class SpectrumSettings(FrameSettings):
    """Spectra of frames: (frames, fft_length / 2 + 1), from 0 Hz to half the rate.

    Attributes:
        log: as of log-mel, with log_floor or log_offset; None for the spectrum itself.
    """

    kind: Literal["spectrum"]
    log: Log | None = None
    log_floor: float | None = Field(default=None, gt=0)
    log_offset: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one(self) -> SpectrumSettings:
        given = (self.log_floor is not None) + (self.log_offset is not None)
        if given != (self.log is not None):
            raise ValueError(
                "with log, give log_floor (the least number whose log is taken) or log_offset; without, neither"
            )
        return self


class StatisticsSettings(_Strict):
    """Statistics of each channel over the whole window: (statistics, channels), in this order.

    Attributes:
        statistics: ``std``, ``skewness`` and ``kurtosis`` are of the population (n, not n - 1), kurtosis is 3 of a normal distribution;
            ``crest_factor`` is max |x| / rms; ``zero_crossings`` is the share of steps from one sign to the other. Of a channel that
            stands still, skewness, kurtosis and crest_factor are 0 where they have no value.
    """

    kind: Literal["statistics"]
    statistics: tuple[StatisticName, ...] = Field(min_length=1, max_length=100)

    def check(self, window: WindowSettings) -> None:
        """Raise ValueError if they do not fit a window."""
        if window.length < 2:
            raise ValueError("statistics need windows of 2 readings or more")


class MicroFrontendSettings(_Strict):
    """TensorFlow Lite Micro's audio frontend: (frames, 40), from 0 to 26, a frame every 10 ms.

    Frames of 30 ms, 40 mel bands from 125 to 7,500 Hz, noise reduction, automatic gain (PCAN) and a logarithm, as microWakeWord models are
    trained with (``tensorflow/lite/experimental/microfrontend`` with that project's parameters). Noise and gain are learnt from all frames
    before, so windows follow each other without overlap.
    """

    kind: Literal["micro-frontend"]

    @property
    def bands(self) -> int:
        """Numbers of a frame."""
        return 40

    def check(self, window: WindowSettings) -> None:
        """Raise ValueError if they do not fit a window."""
        found = f"found rate_hz {window.rate_hz:g}, {len(window.channels)} channels, units {window.units}"
        if window.rate_hz != 16_000 or len(window.channels) != 1 or window.units != FULL_SCALE:
            raise ValueError(f"micro-frontend takes one channel at 16000 Hz in units of {FULL_SCALE}; {found}")
        if window.length % 160 or window.hop != window.length:
            raise ValueError(
                "micro-frontend takes windows of whole steps of 10 ms (160 readings) that follow each other, hop = length; "
                f"found length {window.length}, hop {window.hop}"
            )


FeatureSettings = Annotated[
    LogMelSettings | MfccSettings | MicroFrontendSettings | SpectrumSettings | StatisticsSettings,
    Field(discriminator="kind"),
]
