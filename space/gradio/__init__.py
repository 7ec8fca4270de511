"""The door that Gradio keeps: named routes, its queue, its tools for agents; made narrow enough for strangers."""
