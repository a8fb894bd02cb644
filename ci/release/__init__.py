"""What a release needs beside `kubectl glm`: an image, Helm, warmth and retention."""
