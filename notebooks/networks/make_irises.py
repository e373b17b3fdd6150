"""Write irises.onnx, which notebook 17 reads: a classifier of the 150 irises.

Made with scikit-learn 1.9.1, skl2onnx 1.20.0 and onnx 1.23.2: `python make_irises.py`. The last
digits of its weights depend on the machine.
"""

from pathlib import Path

from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X, y = load_iris(return_X_y=True)
network = MLPClassifier((8,), alpha=0.001, max_iter=3000, random_state=4)
model = make_pipeline(StandardScaler(), network).fit(X, y)
path = Path(__file__).with_name("irises.onnx")
path.write_bytes(to_onnx(model, X[:1]).SerializeToString(deterministic=True))
