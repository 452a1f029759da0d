"""The model, its loss and its optimizer, with what a recipe can switch on."""
