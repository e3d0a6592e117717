"""A user's pictures and programs: preprocessing, reading step by step, the page, exports."""
