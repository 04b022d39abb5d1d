"""What is known of a graph, which stays as it is: asked by passes and by the diagnosis."""
