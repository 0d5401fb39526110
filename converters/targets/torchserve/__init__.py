"""TorchServe: a model archive (.mar) whose handler runs the variant without torch."""
