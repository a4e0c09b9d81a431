"""The background daemon: one asyncio process that never runs MNN, training code or a model tool in itself."""
