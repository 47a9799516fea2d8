"""Random faults, alone and combined, under clients that check every acknowledged write."""
