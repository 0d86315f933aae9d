"""Text detectors (PAN, PSENet, KKDnet): their parts, and the losses that train them."""
