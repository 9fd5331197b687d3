"""The gateway to models: kernels call it in OpenAI's way with a token of their own; the providers' keys stay here."""
