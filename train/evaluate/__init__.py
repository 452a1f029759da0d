"""The papers' tables: any CLIP model on held-out sets as users have them, beside the published figures."""
