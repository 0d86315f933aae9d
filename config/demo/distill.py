# The student of the demo, distilled from the teacher by the method that helped most in docs/results.md.
_base_ = ["../_base_/model/demo_student.py", "../_base_/data/demo.py", "../_base_/schedule/demo.py"]
distiller = dict(
    type="ChannelWiseDistiller",
    feature_weight=0.0,
    response_weight=3.0,
    teachers=[dict(config="config/demo/teacher.py", checkpoint="outputs/demo/teacher/checkpoint_last.pth.tar")],
)
