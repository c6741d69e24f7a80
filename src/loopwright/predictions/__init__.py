"""What was predicted and what came true, as lines in files of the workspace. Light: frames are made only on request."""
