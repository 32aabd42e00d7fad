"""All settings of a captioner and its training, as frozen dataclasses in one module per section.

The dataclasses hold the defaults; a YAML file overrides them and the command line overrides the YAML file
(`--data.batch_size 8`). `configs/loading.py` reads them. Every checkpoint has its own `config.yaml`.
"""

from dataclasses import dataclass, field

from configs.schema.captioner import (
    CaptionerConfig,
    DecoderConfig,
    EncoderConfig,
    ProjectionConfig,
    TagsConfig,
    TokenizerConfig,
)
from configs.schema.data import AugmentConfig, DataConfig
from configs.schema.decoding import DecodingConfig, TagDecodingConfig
from configs.schema.texts import CaptionTable, SimulationConfig, TextsConfig
from configs.schema.training import SelfCriticalConfig, TaggerConfig, TrainingConfig

__all__ = [
    "AugmentConfig",
    "CaptionTable",
    "CaptionerConfig",
    "Config",
    "DataConfig",
    "DecoderConfig",
    "DecodingConfig",
    "EncoderConfig",
    "ProjectionConfig",
    "SelfCriticalConfig",
    "SimulationConfig",
    "TagDecodingConfig",
    "TaggerConfig",
    "TagsConfig",
    "TextsConfig",
    "TokenizerConfig",
    "TrainingConfig",
]


@dataclass(frozen=True)
class Config:
    """An experiment: the settings that train.py reads and that every checkpoint stores as config.yaml."""

    captioner: CaptionerConfig = field(default_factory=CaptionerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
