"""Fine-tunes one pretrained ResNet on images, with one seed, and remembers how.

Knows torch and images; knows nothing of studies, Optuna, MLflow or databases.
Importing this package imports neither torch nor torchvision, so that planning and reporting stay quick.
"""

__version__ = "0.1.0"
