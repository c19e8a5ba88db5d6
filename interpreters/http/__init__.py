"""HTTP by httpx2, behind one seam: a request value in, an answer value out."""
