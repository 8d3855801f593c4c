"""The emulator is held to what AWS says: each refusal is one flip away from a success."""
