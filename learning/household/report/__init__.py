"""Missions in the home as pictures, a film, a rerun recording and a page."""
