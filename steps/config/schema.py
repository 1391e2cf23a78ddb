"""The schema of conf/: what each key may hold. pydantic checks it; `steps.config.load` reads the files."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt, model_validator


class Strict(BaseModel):
    """A mapping that knows all its keys. A number may be written as text: YAML takes 1e-3 for one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _holds_plain_values(cls, value: Any) -> Any:
        """YAML's yes, no, on and off are true and false, which pydantic takes for 1 and 0. No path holds a zero byte.
        """
        for key, part in value.items() if isinstance(value, dict) else ():
            field = cls.model_fields.get(key)
            if isinstance(part, bool) and field is not None and field.annotation is not bool:
                raise ValueError(f"{key}: {part} is not a value of it; put a word in quotation marks")
            if isinstance(part, str) and "\0" in part:
                raise ValueError(f"{key}: a zero byte in {part!r}")
        return value


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"the lower end comes first: [{value[1]}, {value[0]}]")
    return value


def distinct(values: list[Any]) -> list[Any]:
    """The values. Raises ValueError if one is there twice."""
    if any(value in values[:number] for number, value in enumerate(values)):
        raise ValueError("the same value twice")
    return values


def upto(most: int) -> Any:
    """A whole number from 1 to `most`. All bounds are far above what anybody trained with: they catch slips."""
    return Annotated[int, Field(ge=1, le=most)]


def at_most(most: int) -> Any:
    """A whole number from 0 to `most`."""
    return Annotated[int, Field(ge=0, le=most)]


Pair = Annotated[tuple[upto(64), upto(64)], BeforeValidator(_pair)]  # (frames, bins); one number means both
Kernel = Annotated[tuple[Literal[1, 3], Literal[1, 3]], BeforeValidator(_pair)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Factor = Annotated[float, Field(ge=0.25, le=4)]  # of time or frequency
Factors = Annotated[tuple[Factor, Factor], AfterValidator(_ordered)]  # the range that a factor is drawn from
Milliseconds = Annotated[float, Field(gt=0, le=1000)]
Decibels = Annotated[float, Field(ge=-200, le=0)]  # against full scale
NAME = r"[^\W_](?:[\w.-]*[^\W_])?"  # letters and digits of any script, with . _ - between them
Word = Annotated[str, Field(min_length=1)]
NAMES = rf"{NAME}(?:\+{NAME})*"
Name = Annotated[str, Field(pattern=f"^{NAME}$", max_length=100)]
Names = Annotated[str, Field(pattern=f"^{NAMES}$", max_length=200)]  # a, or a+b+c
SetName = Annotated[str, Field(pattern=f"^(?:{NAMES}/)?{NAME}$", max_length=300)]  # test, or corpus/test


class Pinyin(Strict):
    """How text is read aloud (stage 2); steps/text/tones.py and phrases.py say more."""

    sandhi: Literal["citation", "lexical", "spoken"] = "citation"  # lexical: 一 and 不 in words
    neutral_tone: Literal["citation", "spoken"] = "spoken"  # citation: if pypinyin's dictionary has it alone
    dictionary: Literal["corrected", "early"] = "corrected"  # early: as pypinyin first was, and THCHS-30 is labelled
    user_dict: str | None = None  # a file of `word syllable…` lines that win over every other source
    unreadable: Literal["stop", "skip"] = "stop"  # skip leaves utterances out that cannot be read, and says so


class Corpus(Strict):
    """conf/corpora/*.yaml: where a corpus lies and which module of local/ prepares it."""

    module: Name
    root: str | None = None
    sets: Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)] = ["train", "dev", "test"]
    expected: dict[Names, PositiveInt] = {}  # utterances by set, or by sets a+b, as the corpus' documentation says
    skip_bad: bool = False  # leave out recordings that cannot be used, and list them, instead of stopping
    pinyin: Pinyin = Pinyin()
    options: dict[str, Any] = {}  # checked by the module's own `Options`

    @model_validator(mode="after")
    def _expects_known_sets(self) -> "Corpus":
        unknown = [part for names in self.expected for part in names.split("+") if part not in self.sets]
        if unknown:
            raise ValueError(f"expected: no set {unknown[0]!r}, only {', '.join(self.sets)}")
        return self


class Copy(Strict):
    """A changed copy of the training set, made from its waveforms (steps/feats/audio.py).

    Its repr seeds its random choices. `pitch` and `formants` are younger and not in it: older copies stay as they were.
    """

    speed: Factor = 1.0  # played so much faster: time, pitch and formants together
    pitch: Factors = Field((1.0, 1.0), repr=False)  # another voice: ranges of the factors of its pitch
    formants: Factors = Field((1.0, 1.0), repr=False)  # and of its formants, drawn for each utterance
    reverb_s: Annotated[float, Field(ge=0, le=10)] = 0.0  # longest reverberation time of a made-up room; 0: none
    snr_db: Annotated[float, Field(ge=-50, le=100)] | None = None  # lowest ratio of speech to noise; null: none added


class Features(Strict):
    """conf/features/*.yaml: what the network sees of an utterance (stage 3)."""

    type: Literal["spectrogram", "fbank"]
    sample_rate: Annotated[int, Field(ge=4000, le=192000)] = 16000
    frame_length_ms: Milliseconds = 25.0
    frame_shift_ms: Milliseconds = 10.0
    snip_edges: bool = True  # as Kaldi's: frames lie whole within the audio; false mirrors the audio at its ends
    window: Literal["hamming", "hanning", "povey", "rectangular", "blackman"] = "hamming"
    num_bins: upto(4096) = 80
    preemphasis: Fraction = 0.0
    low_freq: Annotated[float, Field(ge=0, le=96000)] = 0.0
    high_freq: Annotated[float, Field(ge=-96000, le=96000)] = 0.0  # 0 or less: an offset from the Nyquist frequency
    floor_db: Decibels = -90.3  # white noise that nothing quieter is told from, dBFS
    level_db: Decibels | None = None  # dBFS that every utterance's speech is brought to; none: levels stay as recorded
    cmn_frames: at_most(10**6) = 0  # 0: the mean of train; else the utterance's, with train's as prior
    copies: Annotated[tuple[Copy, ...], Field(max_length=100)] = ()  # of train; each epoch takes one, or the original
    compress: bool = False  # Kaldi's one byte a value, a quarter of the space
    skip_bad: bool = False  # leave out audio that cannot be used, and list it, instead of stopping

    @property
    def copy_sets(self) -> list[str]:
        """The names of the directories with the features of `copies`."""
        return [f"train_copy{number}" for number, _ in enumerate(self.copies, 1)]

    @model_validator(mode="after")
    def _can_be_computed(self) -> "Features":
        if self.sample_rate * min(self.frame_length_ms, self.frame_shift_ms) < 1000:
            raise ValueError("frame_length_ms and frame_shift_ms must be a sample at least")
        if self.type == "spectrogram":
            bins = int(self.sample_rate * self.frame_length_ms * 0.001) // 2 + 1
            if self.num_bins > bins:
                raise ValueError(f"num_bins: the spectrogram of such a frame has {bins} bins, not {self.num_bins}")
            if self.preemphasis or self.low_freq or self.high_freq or not self.snip_edges:
                raise ValueError("preemphasis, low_freq, high_freq and snip_edges: false belong to type fbank alone")
        return self


class Block(Strict):
    """A run of convolutions, each with batch norm and ReLU, and a max pooling after them.

    Convolutions are padded by half their kernel and have no bias.
    """

    channels: upto(8192)
    layers: upto(64) = 2
    pool: Pair = (1, 1)
    stride: Pair = (1, 1)  # of the first convolution
    kernel: Kernel = (3, 3)  # of all but the first, which is 3×3; [1, 3] sees no further frames
    residual: bool = False  # `layers` residual units of two convolutions each


class Model(Strict):
    """The network: blocks of convolutions, dense layers, the output."""

    blocks: Annotated[list[Block], Field(min_length=1, max_length=64)]
    final_norm: bool = True
    dense: Annotated[list[upto(65536)], Field(max_length=16)] = [256]
    output: Literal["plain", "factored"] = "plain"


class Augment(Strict):
    """Changes made to a training utterance's features, drawn at random in every epoch. All off by default."""

    splice: Annotated[float, Field(ge=0, le=1)] = 0.0  # share of utterances, made of syllables of others: wants `ali`
    splice_run: upto(1000) = 1  # syllables cut out together, at most
    time_warp: Factors = (1.0, 1.0)  # range of the factor that stretches time
    freq_warp: Factors = (1.0, 1.0)  # range of the factor that stretches frequency
    freq_shift: at_most(4095) = 0  # bins, up or down
    level: Annotated[float, Field(ge=0, le=100)] = 0.0  # added to the normalised features, up or down
    filter: Annotated[float, Field(ge=0, le=100)] = 0.0  # the same, but by frequency, as other microphones do
    time_masks: at_most(50) = 0  # SpecAugment (Park et al. 2019)
    time_mask_frames: at_most(10**5) = 10
    freq_masks: at_most(50) = 0
    freq_mask_bins: at_most(4095) = 8


class Optimizer(Strict):
    """The optimizer and its learning rate: linear warm-up, then a cosine down to `final` times the peak."""

    name: Literal["adamw", "muon", "rmsprop"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    warmup_steps: at_most(10**8) = 200
    schedule: Literal["cosine", "constant"] = "cosine"
    final: Annotated[float, Field(ge=0, le=1)] = 0.01
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    clip_norm: Annotated[float, Field(ge=0, le=1e6)] = 5.0  # 0: no clipping


class Train(Strict):
    """Stage 4."""

    epochs: upto(10**5) = 20
    balance: Annotated[float, Field(ge=0, le=1)] = 0.0  # 0: every utterance once an epoch; 1: all speakers as long
    batch_size: upto(10**5) = 16  # utterances at most; times accum_grad times workers make an update
    batch_frames: upto(10**8) = 20000  # padded frames at most
    accum_grad: upto(10**5) = 1  # batches that a worker adds up for an update
    workers: upto(4096) = 1  # processes, each with a device (or its part of the CPU), that msrun starts
    hosts: upto(4096) = 1  # machines that the workers are on, the same number on each
    sortagrad: at_most(10**5) = 0  # epochs, at first, whose short utterances come before the long ones
    buckets: upto(1000) = 4  # padded lengths that batches come in
    optimizer: Optimizer = Optimizer()
    augment: Augment = Augment()
    ali: Word | None = None  # the experiment whose alignment (exp/<experiment>/ali/train/ctm) splicing cuts by
    init_from: Word | None = None  # an experiment, its directory or a .ckpt in there, whose weights it starts from
    freeze_norm: at_most(10**5) = 0  # last epochs, in which batch norm normalises by its averages, as in decoding
    patience: at_most(10**5) = 0  # epochs without a better dev SER before stopping; 0: never stop early
    kernels: Literal["auto", "stock", "onednn"] = "auto"
    precision: Literal["fp32", "bf16", "amp"] = "fp32"  # bf16: on the CPU; amp: on GPU and Ascend
    keep_checkpoints: upto(10**5) = 2
    average: at_most(10**5) = 0  # best checkpoints that final.ckpt is the mean of, or of fewer if dev says so; 0: one
    summary: bool = False  # write exp/<experiment>/summary/, for MindInsight and TensorBoard

    @model_validator(mode="after")
    def _hosts_are_alike(self) -> "Train":
        if self.workers % self.hosts:
            raise ValueError(f"workers: {self.workers} cannot be spread evenly over {self.hosts} hosts")
        return self

    @model_validator(mode="after")
    def _splicing_knows_where(self) -> "Train":
        if (self.augment.splice > 0) != (self.ali is not None):
            raise ValueError("augment.splice and ali, the experiment whose alignment says where to cut, go together")
        return self


GENERAL, TRAIN = "general", "train"  # names of sources of language models


class Lm(Strict):
    """The sources of the language models of prefix and wfst (steps/make_graph.py)."""

    words: list[str] = [GENERAL]  # jieba's words; or files of your own: lines of a word, its pinyin, its frequency
    text: list[str] = [TRAIN]  # transcripts of the training set; or files of sentences
    arpa: list[str] = []  # n-gram models of your own, over words or over syllables: ARPA files, KenLM's binary tries
    order: Annotated[int, Field(ge=2, le=6)] = 3  # words, or syllables, of the longest n-grams
    prune: Annotated[float, Field(ge=0, lt=1)] = 0.0  # rise of perplexity, as a part, that an n-gram is left out for

    @model_validator(mode="after")
    def _has_a_source(self) -> "Lm":
        if not self.words and not self.text:
            raise ValueError("neither words nor text: give one of them at least; arpa comes beside them")
        return self


class Decode(Strict):
    """Stages 5 and 6."""

    methods: Annotated[list[Literal["greedy", "prefix", "wfst"]], Field(min_length=1),
                       AfterValidator(distinct)] = ["greedy"]
    lm: Lm = Lm()
    # sets of the experiment's corpus, or of another one: seedlingo/test
    sets: Annotated[list[SetName], Field(min_length=1), AfterValidator(distinct)] = ["dev", "test"]


class Experiment(Strict):
    """conf/*.yaml: one experiment. `corpus` and `features` name files in conf/corpora and conf/features.

    `corpora: [a, b]` in place of `corpus` means both together: the corpus a+b.
    """

    corpus: Names
    features: Name
    seed: at_most(2**32 - 1) = 1
    tokens: Literal["train", "all"] = "train"
    device: Literal["CPU", "GPU", "Ascend"] = "CPU"
    model: Model
    train: Train = Train()
    decode: Decode = Decode()

    @model_validator(mode="before")
    @classmethod
    def _combine(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "corpora" not in value:
            return value
        if "corpus" in value or not isinstance(value["corpora"], list) or not value["corpora"]:
            raise ValueError("corpora: a list of names, in place of corpus")
        rest = {key: part for key, part in value.items() if key != "corpora"}
        return {"corpus": "+".join(map(str, value["corpora"])), **rest}
