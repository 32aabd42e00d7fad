"""Captioning of many files, which every command and the desktop app share; knows data and models."""
