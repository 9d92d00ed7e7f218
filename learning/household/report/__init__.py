"""The report of household missions: pictures, a GIF, a rerun recording and a page."""
