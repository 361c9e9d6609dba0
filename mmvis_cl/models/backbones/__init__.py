"""Backbones that mmdet does not have."""

from .timm_backbone import TimmBackbone

__all__ = ['TimmBackbone']
