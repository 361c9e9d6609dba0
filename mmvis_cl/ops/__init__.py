"""Kernels: functions of tensors and arrays that know no module."""
