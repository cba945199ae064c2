"""Who is each event about? The ladder decides from what is known, or files a trace request."""
